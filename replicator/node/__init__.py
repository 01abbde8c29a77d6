"""The use cases of a node over its ports: answer, publish, announce, fetch, repair and the tick."""
