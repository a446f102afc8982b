"""BAUM-2i: peak frames of emotional clips from films and series."""
