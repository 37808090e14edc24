"""Astro: the managed Airflow platform whose cross-region disaster recovery is drilled."""
