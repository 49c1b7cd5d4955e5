"""Values in, text or rich renderables out. Nothing here prints, reads a file or asks a clock."""
