"""Settings of each kernel in the course's environment; pip puts this file into its etc/ipython."""

# TensorFlow writes a log to file descriptor 2 when it starts, whatever TF_CPP_MIN_LOG_LEVEL says,
# and a kernel copies what is written there into the notebook. Without the copy, the log goes to
# where the kernel was started. What Python writes to sys.stderr still comes into the notebook.
c.IPKernelApp.capture_fd_output = False  # noqa: F821 -- IPython defines c

# Each dot of a picture has two of its own, so that it is sharp on good screens and on a projector.
c.InlineBackend.figure_formats = {"retina"}  # noqa: F821
