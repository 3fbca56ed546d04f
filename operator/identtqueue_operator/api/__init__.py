"""The TaskQueue resource: the models (`v1alpha1`) and the CRD generated from them (`crd`)."""
