"""The base of every other room: errors, records, tables, atomic files, the store, facts about the machine."""
