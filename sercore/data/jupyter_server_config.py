"""Settings of Jupyter in the course's environment; pip puts this file into its etc/jupyter."""

# Voices must not get into the chapters that git tracks: `keep_sound_out` says more.
c.ContentsManager.pre_save_hook = "sercore.course.notebooks.keep_sound_out"  # noqa: F821 -- Jupyter defines c
