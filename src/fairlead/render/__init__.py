"""A package and values in, stages of objects out: native modules here, other formats through their dialects.

Pure: it has no clock, no file, no network and no environment, so the same package and values give the same objects.
Must never apply anything, nor fetch what a package refers to: what it lacks it asks for with `Lacking`.
"""
