"""The reading room: look up similar past cases from a browser (Streamlit)."""
