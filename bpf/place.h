// The place that a call is about: a file or a socket, by its descriptor, its address in the kernel, or an address that was passed.
#ifndef FAIRLEAD_PLACE_H
#define FAIRLEAD_PLACE_H

#include "paths.h"

INLINE u16 fl_swap(be16 port) { return __builtin_bswap16(port); }

INLINE void fl_place_file(struct fl_room *room, struct fl_call *call, u64 address, s32 fd) {
    struct file *file = (void *)address;
    struct inode *inode = LOAD(file, f_inode);
    struct super_block *sb = LOAD(inode, i_sb);
    struct fl_file *place = &call->place.file;
    room->file = address;
    call->head.flags |= FL_PLACE_FILE;
    place->ino = LOAD(inode, i_ino);
    place->dev = LOAD(sb, s_dev);
    place->mode = LOAD(inode, i_mode);
    place->nlink = LOAD(inode, i_nlink);
    place->magic = LOAD(sb, s_magic);
    place->size = LOAD(inode, i_size);
    place->fd = fd;
    place->oflags = LOAD(file, f_flags);
}

INLINE void fl_place_sock(struct fl_room *room, struct fl_call *call, u64 address, s32 fd) {
    struct sock *sock = (void *)address;
    struct fl_sock *place = &call->place.sock;
    room->sock = address;
    call->head.flags |= FL_PLACE_SOCK;
    place->fd = fd;
    if (!sock) return;
    u16 family = LOAD(sock, __sk_common.skc_family);
    place->family = family;
    place->state = LOAD(sock, __sk_common.skc_state);
    if (HAS_FIELD(((struct sock___bits *)0)->sk_type) && HAS_FIELD(sock->sk_type)) {
        place->type = LOAD(sock, sk_type);
        place->proto = LOAD(sock, sk_protocol);
    }
    struct net *net = LOAD(sock, __sk_common.skc_net.net);
    place->netns = LOAD(net, ns.inum);
    if (family == AF_INET || family == AF_INET6) {
        place->lport = LOAD(sock, __sk_common.skc_num);
        place->rport = fl_swap(LOAD(sock, __sk_common.skc_dport));
    }
    if (family == AF_INET) {
        bpf_probe_read_kernel(place->laddr, 4, ADDRESS(sock, __sk_common.skc_rcv_saddr));
        bpf_probe_read_kernel(place->raddr, 4, ADDRESS(sock, __sk_common.skc_daddr));
    } else if (family == AF_INET6) {
        bpf_probe_read_kernel(place->laddr, 16, ADDRESS(sock, __sk_common.skc_v6_rcv_saddr));
        bpf_probe_read_kernel(place->raddr, 16, ADDRESS(sock, __sk_common.skc_v6_daddr));
    }
}

// A descriptor's file, or the socket behind it.
INLINE void fl_place_fd(struct fl_room *room, struct fl_call *call, s32 fd) {
    u64 address = fl_file_of(fd);
    struct file *file = (void *)address;
    if (!address) return;
    struct inode *inode = LOAD(file, f_inode);
    if ((LOAD(inode, i_mode) & S_IFMT) == S_IFSOCK) {
        struct socket *socket = LOAD(file, private_data);
        fl_place_sock(room, call, (u64)LOAD(socket, sk), fd);
        if (!call->place.sock.type) call->place.sock.type = LOAD(socket, type);
        return;
    }
    fl_place_file(room, call, address, fd);
}

struct fl_sockaddr { u16 family; be16 port; union { u8 v4[4]; struct { u32 flow; u8 v6[16]; }; }; };

// An address that was passed: the remote end, or in bind the local one.
INLINE void fl_place_address(struct fl_call *call, u64 address, bool local) {
    struct fl_sockaddr given = {};
    struct fl_sock *place = &call->place.sock;
    if (!address || bpf_probe_read_user(&given, 8, (void *)address)) return;
    if (call->head.flags & FL_PLACE_FILE) return;
    if (given.family == AF_INET6 && bpf_probe_read_user(&given, sizeof given, (void *)address)) return;
    if (given.family != AF_INET && given.family != AF_INET6) {
        if (!place->family) place->family = given.family;
        call->head.flags |= FL_PLACE_SOCK;
        return;
    }
    call->head.flags |= FL_PLACE_SOCK;
    // A socket of IPv6 may be given an address of IPv4.
    place->family = given.family;
    u8 *into = local ? place->laddr : place->raddr;
    __builtin_memset(into, 0, 16);
    if (given.family == AF_INET) __builtin_memcpy(into, given.v4, 4);
    else __builtin_memcpy(into, given.v6, 16);
    if (local) place->lport = fl_swap(given.port);
    else place->rport = fl_swap(given.port);
}

// The path of a unix socket as the next text: of the address that was passed, else of the peer, else its own.
INLINE void fl_add_unix(struct fl_room *room, u64 given, u32 given_len) {
    u32 k = room->next, pos = room->end, len = 0;
    if (k > 3 || pos > FL_TEXT_MOST) return;
    char *into = &room->text[pos];
    u16 family = 0;
    if (given && !bpf_probe_read_user(&family, 2, (void *)given) && family == AF_UNIX) {
        len = given_len > 110 ? 108 : given_len > 2 ? given_len - 2 : 0;
        MOST(len, 108);
        if (bpf_probe_read_user(into, len, (void *)(given + 2))) len = 0;
    } else if (room->sock) {
        struct unix_sock *sock = (void *)room->sock;
        struct unix_sock *peer = (void *)GET(sock, peer);
        struct unix_address *address = peer ? GET(peer, addr) : 0;
        if (!address) address = GET(sock, addr);
        if (address) {
            len = GET(address, len);
            len = len > 110 ? 108 : len > 2 ? len - 2 : 0;
            MOST(len, 108);
            if (bpf_probe_read_kernel(into, len, (const char *)ADDRESS(address, name) + 2)) len = 0;
        }
    }
    // A path ends at its first zero byte; an abstract name begins with one and goes on to the end.
    if (len && len <= 108 && into[0]) {
        long n = bpf_probe_read_kernel_str(room->path, 109, into);
        if (n > 0 && n - 1 < len) len = n - 1;
    }
    room->pos[k] = pos;
    room->len[k] = len;
    room->end = pos + len;
    room->next = k + 1;
}

#endif
