"""Other libraries' weights: conversion of files and names to our tensor names with a header, and back."""
