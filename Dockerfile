# The operator's image, in three stages:
#
#   python   the base of the other two, with Python and CA certificates
#   build    adds pip, which installs the locked dependencies by hash, and the operator next to them
#   image    `python` plus the result of `build`, for a user other than root, without pip and without a compiler
#
# Build it from the root of the repository, with any tool that builds Dockerfiles:
#
#   docker build --tag pipedrive-operator:0.1.0 --build-arg VERSION=0.1.0 .
#
# The operator writes no files: its root file system can be read-only.

# Debian 12 or later, or an image based on it. The digest names an image that nobody can replace; the one of the newest
# debian:12-slim is in the first line of `docker buildx imagetools inspect debian:12-slim`.
ARG BASE=debian:12-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171

FROM ${BASE} AS python
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/*

FROM python AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip python3-venv
COPY requirements/runtime.txt /tmp/
# If your package index needs its own configuration or certificate authority, pass --secret id=pip.conf,src=... and
# --secret id=ca.crt,src=...; pip.conf refers to the latter as /run/secrets/ca.crt. Both are mounted only while pip runs.
# Imported modules are compiled now, because nothing can be written later; the models of Kubernetes' own resources are not.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    python3 -m venv --without-pip /opt/pipedrive-operator \
 && python3 -m pip --python /opt/pipedrive-operator/bin/python install --require-hashes --only-binary=:all: --no-deps \
      --no-compile --no-cache-dir --disable-pip-version-check --requirement /tmp/runtime.txt \
 && python3 -m compileall -qq --invalidation-mode unchecked-hash -x 'kubernetes/.*(api|models)/' /opt/pipedrive-operator/lib
COPY LICENSE /opt/pipedrive-operator/
COPY operator/pipedrive_operator /tmp/pipedrive_operator
RUN mv /tmp/pipedrive_operator /opt/pipedrive-operator/lib/python3.*/site-packages/ \
 && python3 -m compileall -qq --invalidation-mode unchecked-hash \
      /opt/pipedrive-operator/lib/python3.*/site-packages/pipedrive_operator \
 && printf '%s\n' '#!/opt/pipedrive-operator/bin/python' 'from pipedrive_operator.__main__ import main' 'main()' \
      > /opt/pipedrive-operator/bin/pipedrive-operator \
 && chmod 0755 /opt/pipedrive-operator/bin/pipedrive-operator

FROM python AS image
ARG BASE
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pipedrive-operator" \
      org.opencontainers.image.description="Keeps a Pipedrive credential that Pipedrive accepts in a Kubernetes Secret" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
ENV PATH=/opt/pipedrive-operator/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# By number, so that the kubelet can verify that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["pipedrive-operator"]
CMD ["run"]
COPY --from=build /opt/pipedrive-operator /opt/pipedrive-operator
