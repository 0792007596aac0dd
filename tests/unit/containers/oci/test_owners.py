import os
import subprocess

from trivet.containers.oci import owners


def test_this_process_is_not_gone():
    assert not owners.is_gone(owners.me())


def test_a_process_that_ended_is_gone_and_one_that_has_its_number_now_is_another():
    ended = subprocess.Popen(["true"])
    ended.wait()
    place = owners.me().rsplit("/", 2)[0]
    assert owners.is_gone(f"{place}/{ended.pid}/123")
    assert owners.is_gone(f"{place}/{os.getpid()}/123")


def test_of_processes_elsewhere_nothing_is_known():
    assert not owners.is_gone(f"another-boot/4026531836/{os.getpid()}/123")
    assert not owners.is_gone("nonsense")
    assert not owners.is_gone("")
