"""Parts of the engine of point clouds: clouds, calls, outputs, hooks, seeds."""
