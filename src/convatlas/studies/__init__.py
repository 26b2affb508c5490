"""Studies: experiments that are trained here to show something; one folder each, described by its module `study`."""
