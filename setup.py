"""What pyproject.toml cannot say: that an editable install puts the data files in place too."""

from setuptools import Distribution, setup


class _Distribution(Distribution):
    """Answers the question that setuptools' editable_wheel asks before it installs data files."""

    def has_data(self) -> bool:
        # setuptools names the method has_data_files, so unanswered the question means no.
        return self.has_data_files()


setup(distclass=_Distribution)
