"""Tests of api2db."""
