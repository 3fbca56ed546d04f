"""A web service that reads passports: `web` serves requests, `tasks` has the workers' jobs."""
