"""What every other room stands on: errors, records, tables, whole files, machine facts."""
