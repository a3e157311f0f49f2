"""What libbpf's functions take and give, for ctypes: option structures as libbpf 1.0 has them, and a table of prototypes. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import (
    POINTER,
    Structure,
    c_bool,
    c_char,
    c_char_p,
    c_int,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any, Final


class OpenOptions(Structure):
    """struct bpf_object_open_opts, as far as it is used here."""

    _fields_ = (
        ("sz", c_size_t), ("object_name", c_char_p), ("relaxed_maps", c_bool), ("pin_root_path", c_char_p),
        ("unused", c_uint32), ("kconfig", c_char_p), ("btf_custom_path", c_char_p), ("kernel_log_buf", c_void_p),
        ("kernel_log_size", c_size_t), ("kernel_log_level", c_uint32), ("pad", c_uint32),
    )  # fmt: skip


class LoadOptions(Structure):
    """struct bpf_prog_load_opts of libbpf 1.0."""

    _fields_ = (
        ("sz", c_size_t), ("attempts", c_int), ("expected_attach_type", c_int), ("prog_btf_fd", c_uint32),
        ("prog_flags", c_uint32), ("prog_ifindex", c_uint32), ("kern_version", c_uint32), ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32), ("attach_btf_obj_fd", c_uint32), ("fd_array", c_void_p), ("func_info", c_void_p),
        ("func_info_cnt", c_uint32), ("func_info_rec_size", c_uint32), ("line_info", c_void_p), ("line_info_cnt", c_uint32),
        ("line_info_rec_size", c_uint32), ("log_level", c_uint32), ("log_size", c_uint32), ("log_buf", c_void_p),
    )  # fmt: skip


class LinkOptions(Structure):
    """struct bpf_link_create_opts of libbpf 1.0: its union taken as perf_event's cookie."""

    _fields_ = (
        ("sz", c_size_t), ("flags", c_uint32), ("iter_info", c_void_p), ("iter_info_len", c_uint32),
        ("target_btf_id", c_uint32), ("cookie", c_uint64), ("more", c_uint64 * 4),
    )  # fmt: skip


class UprobeOptions(Structure):
    """struct bpf_uprobe_opts."""

    _fields_ = (
        ("sz", c_size_t), ("ref_ctr_offset", c_size_t), ("bpf_cookie", c_uint64), ("retprobe", c_bool),
        ("func_name", c_char_p), ("attach_mode", c_int),
    )  # fmt: skip


class KprobeOptions(Structure):
    """struct bpf_kprobe_opts."""

    _fields_ = (
        ("sz", c_size_t), ("bpf_cookie", c_uint64), ("offset", c_size_t), ("retprobe", c_bool), ("attach_mode", c_int),
    )  # fmt: skip


class CookieOptions(Structure):
    """struct bpf_tracepoint_opts, bpf_raw_tracepoint_opts, bpf_trace_opts and bpf_usdt_opts: a size and a cookie."""

    _fields_ = (("sz", c_size_t), ("cookie", c_uint64))


class ProgramInfo(Structure):
    """The beginning of struct bpf_prog_info."""

    _fields_ = (
        ("type", c_uint32), ("id", c_uint32), ("tag", c_uint8 * 8), ("jited_prog_len", c_uint32),
        ("xlated_prog_len", c_uint32), ("jited_prog_insns", c_uint64), ("xlated_prog_insns", c_uint64),
        ("load_time", c_uint64), ("created_by_uid", c_uint32), ("nr_map_ids", c_uint32), ("map_ids", c_uint64),
        ("name", c_char * 16),
    )  # fmt: skip


class MapInfo(Structure):
    """The beginning of struct bpf_map_info."""

    _fields_ = (
        ("type", c_uint32), ("id", c_uint32), ("key_size", c_uint32), ("value_size", c_uint32),
        ("max_entries", c_uint32), ("map_flags", c_uint32), ("name", c_char * 16),
    )  # fmt: skip


_P = c_void_p
PROTOTYPES: Final[Mapping[str, tuple[Any, tuple[Any, ...]]]] = {
    "libbpf_version_string": (c_char_p, ()),
    "libbpf_num_possible_cpus": (c_int, ()),
    "libbpf_find_vmlinux_btf_id": (c_int, (c_char_p, c_int)),
    "btf__load_vmlinux_btf": (_P, ()),
    "btf__free": (None, (_P,)),
    "btf__find_by_name_kind": (c_int, (_P, c_char_p, c_uint32)),
    "btf__type_by_id": (_P, (_P, c_uint32)),
    "btf__name_by_offset": (c_char_p, (_P, c_uint32)),
    "libbpf_probe_bpf_map_type": (c_int, (c_int, _P)),
    "libbpf_probe_bpf_prog_type": (c_int, (c_int, _P)),
    "libbpf_probe_bpf_helper": (c_int, (c_int, c_int, _P)),
    "bpf_object__open_file": (_P, (c_char_p, POINTER(OpenOptions))),
    "bpf_object__load": (c_int, (_P,)),
    "bpf_object__close": (None, (_P,)),
    "bpf_object__next_program": (_P, (_P, _P)),
    "bpf_object__next_map": (_P, (_P, _P)),
    "bpf_program__name": (c_char_p, (_P,)),
    "bpf_program__section_name": (c_char_p, (_P,)),
    "bpf_program__fd": (c_int, (_P,)),
    "bpf_program__set_autoload": (c_int, (_P, c_bool)),
    "bpf_program__autoload": (c_bool, (_P,)),
    "bpf_program__set_attach_target": (c_int, (_P, c_int, c_char_p)),
    "bpf_program__attach": (_P, (_P,)),
    "bpf_program__attach_trace_opts": (_P, (_P, POINTER(CookieOptions))),
    "bpf_program__attach_lsm": (_P, (_P,)),
    "bpf_program__attach_tracepoint_opts": (_P, (_P, c_char_p, c_char_p, POINTER(CookieOptions))),
    "bpf_program__attach_raw_tracepoint": (_P, (_P, c_char_p)),
    "bpf_program__attach_raw_tracepoint_opts": (_P, (_P, c_char_p, POINTER(CookieOptions))),
    "bpf_program__attach_kprobe_opts": (_P, (_P, c_char_p, POINTER(KprobeOptions))),
    "bpf_program__attach_uprobe_opts": (_P, (_P, c_int, c_char_p, c_size_t, POINTER(UprobeOptions))),
    "bpf_program__attach_usdt": (_P, (_P, c_int, c_char_p, c_char_p, c_char_p, POINTER(CookieOptions))),
    "bpf_program__attach_cgroup": (_P, (_P, c_int)),
    "bpf_program__attach_perf_event": (_P, (_P, c_int)),
    "bpf_link__destroy": (c_int, (_P,)),
    "bpf_link__disconnect": (None, (_P,)),
    "bpf_link__fd": (c_int, (_P,)),
    "bpf_link__pin": (c_int, (_P, c_char_p)),
    "bpf_link__update_program": (c_int, (_P, _P)),
    "bpf_map__name": (c_char_p, (_P,)),
    "bpf_map__fd": (c_int, (_P,)),
    "bpf_map__type": (c_int, (_P,)),
    "bpf_map__key_size": (c_uint32, (_P,)),
    "bpf_map__value_size": (c_uint32, (_P,)),
    "bpf_map__max_entries": (c_uint32, (_P,)),
    "bpf_map__set_max_entries": (c_int, (_P, c_uint32)),
    "bpf_map__set_initial_value": (c_int, (_P, _P, c_size_t)),
    "bpf_map__initial_value": (_P, (_P, POINTER(c_size_t))),
    "bpf_map__is_internal": (c_bool, (_P,)),
    "bpf_map__reuse_fd": (c_int, (_P, c_int)),
    "bpf_map__pin": (c_int, (_P, c_char_p)),
    "bpf_map__set_autocreate": (c_int, (_P, c_bool)),
    "bpf_map_update_elem": (c_int, (c_int, _P, _P, c_uint64)),
    "bpf_map_lookup_elem": (c_int, (c_int, _P, _P)),
    "bpf_map_delete_elem": (c_int, (c_int, _P)),
    "bpf_map_get_next_key": (c_int, (c_int, _P, _P)),
    "bpf_map_update_batch": (c_int, (c_int, _P, _P, POINTER(c_uint32), _P)),
    "bpf_map_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_map_get_next_id": (c_int, (c_uint32, POINTER(c_uint32))),
    "bpf_prog_load": (c_int, (c_int, c_char_p, c_char_p, _P, c_size_t, POINTER(LoadOptions))),
    "bpf_prog_get_next_id": (c_int, (c_uint32, POINTER(c_uint32))),
    "bpf_prog_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_obj_get_info_by_fd": (c_int, (c_int, _P, POINTER(c_uint32))),
    "bpf_obj_get": (c_int, (c_char_p,)),
    "bpf_obj_pin": (c_int, (c_int, c_char_p)),
    "bpf_link_create": (c_int, (c_int, c_int, c_int, POINTER(LinkOptions))),
    "bpf_raw_tracepoint_open": (c_int, (c_char_p, c_int)),
}

NEWER: Final = frozenset({"bpf_program__attach_raw_tracepoint_opts"})
"""Functions that libbpf 1.0 lacks, and that may be missing."""
