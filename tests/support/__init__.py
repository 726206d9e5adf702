"""What tests share: real servers, fresh databases, waiting for facts."""
