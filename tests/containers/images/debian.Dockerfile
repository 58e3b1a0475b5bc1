# The base of the other stand-ins: Debian 12 as debootstrap makes it, with the certificates that this machine trusts, which
# include that of a TLS proxy, if there is one.
FROM scratch
ADD rootfs.tar /
COPY apt.conf /etc/apt/apt.conf.d/slim
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["bash"]
