# What the other stand-ins stand on: Debian 12 as debootstrap made it, with the certificates that this machine trusts, which
# is where a proxy that opens TLS has its own.
FROM scratch
ADD rootfs.tar /
COPY apt.conf /etc/apt/apt.conf.d/slim
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["bash"]
