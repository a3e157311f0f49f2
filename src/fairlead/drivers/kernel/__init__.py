"""The kernel: what it allows, programs in it that serve a plan, and their records in batches. Must never judge what it reads."""
