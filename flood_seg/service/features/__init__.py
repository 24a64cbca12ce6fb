"""The vectors of the results of jobs, as OGC API - Features has them: collections of features in WGS 84."""
