"""The worker: fetches tasks, runs their jobs, records the outcomes, and watches over itself."""
