"""Map tiles of the results of jobs, and how other programs find them: TileJSON and WMTS."""
