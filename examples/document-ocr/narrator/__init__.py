"""The demonstration: prints what happens on the cluster, and checks that it is right."""
