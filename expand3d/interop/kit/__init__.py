"""A portable folder that times networks on another device, and the file that runs there."""
