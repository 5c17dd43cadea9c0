"""Other runtimes that compute a trained network: OpenVINO and LiteRT."""
