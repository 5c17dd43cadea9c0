import pytest
from evaluation.samples import make_network, write_class_folders


@pytest.fixture(scope="session")
def network():
    return make_network()


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos") / "data"
    write_class_folders(root)
    return root
