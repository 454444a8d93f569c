"""Every setting: what the parts are made of, and how they are trained.

Nothing here imports what it configures. So the command line knows all flags, and refuses wrong ones, without loading torch.
"""
