"""Who looks at the dashboard, and who may act: users, logins, and requests that are forged."""
