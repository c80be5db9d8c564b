"""What tests share: small data, nets, programs."""
