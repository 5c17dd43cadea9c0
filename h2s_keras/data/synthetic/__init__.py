"""Clips that are drawn, with known flow: action classes and moving layers."""
