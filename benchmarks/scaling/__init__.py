"""A discrete-event simulator of scalers: the operator's own `decide`, and KEDA with the HPA."""
