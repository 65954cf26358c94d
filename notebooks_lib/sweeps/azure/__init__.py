"""Trials as jobs of an Azure ML workspace."""
