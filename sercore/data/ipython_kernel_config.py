"""Settings of every kernel in the course's environment; pip puts this into its etc/ipython."""

# TensorFlow's C++ code writes its start-up log to file descriptor 2, whatever
# TF_CPP_MIN_LOG_LEVEL says, and a kernel copies that descriptor into the notebook. Without the
# copy these lines go where the kernel was started; Python's own sys.stderr stays in the notebook.
c.IPKernelApp.capture_fd_output = False  # noqa: F821 -- IPython reads this file with c defined
