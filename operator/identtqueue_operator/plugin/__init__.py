"""The command `kubectl tq`: TaskQueues and their tasks, for people who use kubectl.

It runs the user's own kubectl for everything that the API server knows, so kubeconfig, contexts
and logins work as they do there. What only Redis knows it asks the operator, through its gateway
(`gateway_client`), over `kubectl port-forward` (`tunnel`), with a token of the user (`login`).
Each file in `commands/` has the commands about one thing.
"""
