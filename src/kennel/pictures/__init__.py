"""From files to arrays: decode, data sets on disk, the packed store, the census, the public set, drawn pictures."""
