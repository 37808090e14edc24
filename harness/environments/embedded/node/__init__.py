"""A region's node: pods as processes, forked from warm Airflow."""
