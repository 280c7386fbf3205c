"""Archives from outside, unpacked safely: ``unpacking.py`` decides, ``zip_files.py`` and ``tar_files.py`` read."""
