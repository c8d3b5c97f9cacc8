# The operator's image, in three stages:
#
#   python   the base, with Python and CA certificates: what the other two have in common
#   build    that and pip, which installs the locked dependencies by their hashes; the operator goes beside them
#   image    `python` with what `build` made, for a user who is not root: neither pip nor a compiler is in it
#
# Build it from the root of the repository, with any builder of Dockerfiles:
#
#   docker build --tag pipedrive-operator:0.1.0 --build-arg VERSION=0.1.0 .
#
# It writes nothing: its root file system may be read-only.

# Debian 12 or later, or an image made of it.
ARG BASE=debian:12-slim

FROM ${BASE} AS python
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/*

FROM python AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip python3-venv
COPY requirements/runtime.txt /tmp/
# Where the package index needs a configuration or a certificate authority of one's own: --secret id=pip.conf,src=... and
# --secret id=ca.crt,src=..., which pip.conf calls /run/secrets/ca.crt. They are mounted while pip runs, and kept nowhere.
# What is imported is compiled, as nothing can be written later; the models of all of Kubernetes' own resources are not.
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
 && printf '%s\n' '#!/opt/pipedrive-operator/bin/python' 'from pipedrive_operator.commands import main' 'main()' \
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
# A number, so that the kubelet can see that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["pipedrive-operator"]
CMD ["run"]
COPY --from=build /opt/pipedrive-operator /opt/pipedrive-operator
