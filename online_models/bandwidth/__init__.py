"""The link, 15 minutes ahead: features, forecasters, what each link does best with, and the AMST parameters."""
