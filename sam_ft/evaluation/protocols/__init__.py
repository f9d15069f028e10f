"""How a model can be measured: one protocol in each file, one YAML for each in configs/protocol."""
