"""Pages a person looks at: one HTML file each, which needs no network. Pure: figures in, HTML out."""
