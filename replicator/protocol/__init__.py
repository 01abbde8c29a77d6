"""What goes over the wire: identifiers, posts, messages, encodings and signatures. Pure."""
