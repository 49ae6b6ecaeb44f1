"""The processes of a run: who they are, how they wait for each other and fail together."""
