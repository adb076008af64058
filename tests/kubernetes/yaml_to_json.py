"""Prints the YAML documents of standard input as one JSON list."""

import json
import sys

import yaml

print(json.dumps([document for document in yaml.safe_load_all(sys.stdin) if document]))
