"""The operator without Kubernetes: the same rounds, with processes where pods would be.

`run` puts the parts together. `manifest` reads the user's file, `objects` stores what it declares,
and `api` answers the operator from that store. `deployments` does the part of Kubernetes'
controllers, `pods` and `container` that of the kubelet. `keeper` sees to it that no process
outlives this one. `control` answers `identtqueue local get`, which `client` asks and `show` prints.
"""
