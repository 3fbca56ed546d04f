"""The TaskQueue resource: the models (`v1alpha1`), and what is generated from them.

`crd` makes the CustomResourceDefinition, and `admission` the policy that authors are held to.
"""
