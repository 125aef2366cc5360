"""What turns the checkout into the plugin that people install. The standard library alone; none of it is shipped."""
