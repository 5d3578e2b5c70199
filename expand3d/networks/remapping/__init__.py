"""The channels of two networks of a family, side by side: the ground of `weights.remap`."""
