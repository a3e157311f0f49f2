"""Containers on Linux through containerd: its process, its protocol, its images, and the runtime on top.

Holds no rules about pods: what runs, when, and what becomes of it afterwards is the reactor's to say.
"""
